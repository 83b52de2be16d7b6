"""What keeps the public contract honest: everything that a client in another language stands on.

`proto/` and `docs/protocol.md` are the contract. Here: `vectors` makes `proto/testdata` from the
product's own code; `reference` makes `docs/api.md` from the comments in `proto/streamlog/v1`;
`toolchains` knows the languages and what each needs; `clients` builds and runs the programs in
`examples/clients`. The matrix of languages itself is a test, `tests/clients`.
"""
