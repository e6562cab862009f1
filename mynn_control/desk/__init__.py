"""The desk: the teacher's page of the class, on the teacher's own computer (`make desk`)."""
