"""The users of a node at work: the file that they come from, who may log in, and what each
connection may do. The rules themselves, which ask nobody, are in security/."""
