"""The semantic layer: figures with a name, declared in the contracts of gold and compiled to SQL, always the same.

Read on from `catalogue` (which metrics there are, and for whom), `question` (what may be asked), `compiling` (to SQL).
"""
