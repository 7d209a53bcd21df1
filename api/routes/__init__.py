"""Every router of the API, in the order of its description."""

from api.routes import assets, docs, events, health, participants, programs, rules, state

ROUTERS = (programs.router, assets.router, participants.router, state.router, events.router, rules.router, docs.router, health.router)
