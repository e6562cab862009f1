"""The desk: the teacher's web pages about the class, on the teacher's own computer (`make desk`)."""
