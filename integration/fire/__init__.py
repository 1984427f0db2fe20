"""Real processes under fire: the development cluster's topology on etcd and PostgreSQL, simulated hosts, clients that make,
stop, start and delete machines, and faults from a seed. Afterwards everything is healed, and what must hold is checked.

`schedule` says which faults come when, and is a function of the seed alone. `topology` says what runs where, `network` makes the
nodes' namespaces and cuts them off, `faults` carries the schedule out. `door` calls a gateway and judges every answer, `watch`
follows operations as streams, `workload` lives machines' lives. `audit` watches PostgreSQL from the inside and compares its rows,
`agents` asks the hosts' agents what really runs, `findings` gathers what is wrong. `main` puts it together.

Rules of the harness:

1. A refusal is judged where it comes, with what was known then: a retryable error is none of anybody's faults, a broken
   connection is only where its gateway was in trouble, and everything else must follow from what the client did before.
2. A client repeats a call under its request id, through the other gateway, until it is acknowledged; then it knows exactly one
   outcome, and what state the machine must have.
3. What is checked at the end is asked again until it holds or the bound has passed, so that a slow machine finds nothing and a
   wrong one is found.
"""
