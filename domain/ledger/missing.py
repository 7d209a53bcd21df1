"""What an operation turns out to need: its caller loads it and tries again."""

from uuid import UUID

from domain.ledger.accounts import AccountKey


class MissingState(Exception):
    """What an operation needs isn't in the working set yet: load it and try again. Not a refusal."""


class MissingAsset(MissingState):
    def __init__(self, asset_id: UUID) -> None:
        self.asset_id = asset_id
        super().__init__(str(asset_id))


class MissingAccount(MissingState):
    def __init__(self, key: AccountKey) -> None:
        self.key = key
        super().__init__(str(key))


class MissingWallet(MissingState):
    def __init__(self, program_id: UUID, asset_id: UUID) -> None:
        self.program_id = program_id
        self.asset_id = asset_id
        super().__init__(f"{program_id}/{asset_id}")


class MissingLots(MissingState):
    """The account is there, its lots and hold records aren't."""

    def __init__(self, key: AccountKey) -> None:
        self.key = key
        super().__init__(str(key))
