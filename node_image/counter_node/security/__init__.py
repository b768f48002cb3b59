"""Who may speak to a node, and what they may say: certificates (tls.py), users (acl.py), the door
of every port (door.py), and what was refused."""
