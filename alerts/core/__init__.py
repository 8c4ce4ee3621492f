"""The pure engine: observations and commands in, effects out; no I/O, clock, thread, log or chance inside."""
