"""Tables, the one validator, transactions and migrations."""
