"""One policy for every surface: who sees which rows and columns of which dataset, how much of it, and for what.

Declared in schemas/policies, compiled to one secured view per dataset and role. Read on from `model` (what a policy
says), `loader` (from YAML), `views` (the compilation), `applying` (into ClickHouse), `decision` (allow or deny).
"""
