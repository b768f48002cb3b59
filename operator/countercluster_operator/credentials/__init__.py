"""What is secret about a cluster: its authority, certificates, passwords and users.

certificates.py, issued.py, users.py and fitness.py are pure and decide when each is renewed and
what others may give; store.py reads and writes. Secrets for pods and applications are made from it
in resources/secrets.py."""
