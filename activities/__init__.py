"""What flows call: open a transaction, call services, report.

Activities that run in threads are never interrupted (`no_thread_cancel_exception`): an exception raised by a lost task or a
stopping worker between two messages of the protocol with Postgres would break the connection, and in a lane count as the
event's failure. They work in slices of a second or so instead, and end by themselves.
"""
