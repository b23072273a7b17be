"""What outlives the process: state.json, the journal, the locks, and the history of the gone.

Nothing is imported here, so that a command pays only for the modules it uses.
"""
