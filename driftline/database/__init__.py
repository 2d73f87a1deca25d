"""The SQL database: engine, transactions, locks, leases, queues, column types, migrations."""
