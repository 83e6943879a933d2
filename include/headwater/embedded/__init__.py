"""The local stack that `headwater up` starts: one module per service, each the real thing, on loopback.

`services` lists them, `stack` starts, repairs and stops them, `processes` knows how a process is started and ended,
`downloads` and `java` bring what they need.
"""
