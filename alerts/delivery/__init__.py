"""The way out: outbox and senders."""
