"""What is on disk: store (state.json), journal, schema and migrations, locks, history."""
