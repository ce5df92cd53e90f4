"""A node side by side with other mail servers: what both need, the loads they get, and the table of it.

    wire       speaks SMTP, IMAP and POP3 as a client
    loads      drives a server and takes the time
    place      a network, a name server and a file system of their own
    servers    starts a server, stops it, and says what it uses
    peers      how Postfix and Dovecot are set up
    steps      what is measured
    figures    names, goals and the table
"""
