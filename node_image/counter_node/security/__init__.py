"""Who may speak to a node, and what they may say: certificates (tls.py), users (acl.py), the
listener of every port (listener.py), and what was refused."""
