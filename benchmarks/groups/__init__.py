"""How long groups need until everybody reads again, here and at Kafka.

| module | does |
|---|---|
| `reading` | decides from what members tell when everybody reads again |
| `members` | processes with members in them |
| `changes` | a member arrives, leaves, is killed, is frozen: measured |
| `platform`, `kafka` | the two systems |
| `report` | the figures side by side |
"""
