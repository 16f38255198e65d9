"""Kafka: topics, clients, records, and a broker for this machine."""
