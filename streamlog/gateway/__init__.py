"""The plain path: a client inside the node, for clients outside that have only stubs.

`streamlog.v1.RecordService` takes single records from anybody who connects to any node, and
pushes records to them. Behind it runs the same client library that applications use: it batches,
compresses, finds leaders, retries and keeps order, whichever node leads a partition. Calls to this
node itself do not leave the process (`connector`).
"""
