-- Groups: holders of their own. Their row in holders (kind GROUP) has their state and is what every change of them locks.
CREATE TABLE groups (
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES organizations,
    name             text NOT NULL,
    status           text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'ARCHIVED')),
    on_behalf_of_participant_id uuid,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    CHECK ((deleted_at IS NOT NULL) = (status = 'ARCHIVED'))
);
CREATE INDEX groups_created ON groups (organization_id, created_at, id);

-- One row per participant: its latest membership. position is its place in the call that added it, for the order of joining;
-- on_behalf_of_participant_id says who asked for the latest change.
CREATE TABLE group_members (
    group_id         uuid NOT NULL REFERENCES groups,
    participant_id   uuid NOT NULL REFERENCES participants,
    organization_id  uuid NOT NULL,
    role             text NOT NULL CHECK (role IN ('ADMIN', 'MEMBER')),
    status           text NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'LEFT')),
    on_behalf_of_participant_id uuid,
    joined_at        timestamptz NOT NULL,
    position         smallint NOT NULL,
    left_at          timestamptz,
    PRIMARY KEY (group_id, participant_id),
    CHECK ((left_at IS NOT NULL) = (status = 'LEFT'))
);
CREATE INDEX group_members_joined ON group_members (group_id, joined_at, position, participant_id);
CREATE INDEX group_members_participant ON group_members (participant_id, joined_at, group_id) WHERE status = 'ACTIVE';

-- Where one pair of a group stood at a moment: its statements run over pairs, whose account_seq are counted apart.
CREATE INDEX postings_pair ON postings (entity_id, asset_id, program_id, created_at, entry_id, ordinal)
    WHERE entity_type = 'GROUP';
