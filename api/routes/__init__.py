"""Every router of the API, in the order of its description."""

from api.routes import (
    activity,
    assets,
    balances,
    docs,
    event_ingest,
    events,
    group_accounts,
    groups,
    health,
    journal_entries,
    participants,
    programs,
    rules,
    state,
    wallets,
)

ROUTERS = (
    programs.router,
    wallets.router,
    assets.router,
    participants.router,
    state.router,
    balances.router,
    activity.router,
    groups.router,
    group_accounts.router,
    state.group_router,
    event_ingest.router,
    events.router,
    rules.router,
    journal_entries.router,
    health.router,
    docs.router,
)
