"""The audit trail: who asked for or changed what, as what, and what came of it; append-only and chained by hashes.

`entries` says what is kept, `writing` keeps it, `anchoring` signs checkpoints outside the database, `verifying` finds
the first entry that is not as it was written.
"""
