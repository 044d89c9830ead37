"""Real servers for the test-suite, one module per server, on loopback only.

Every module has ``serve(folder)``, a context manager that yields a running
`server.Server`: where to reach it, and a back door that looks behind the code
under test. Anything that keeps a server from running is a
`process.ServerUnavailable` with the reason in its message.
"""
