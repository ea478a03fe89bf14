"""Takes uploads, throws them away, and says how many bytes they were. One connection at a time is all the benchmark needs."""
import socket
import sys


def receive(connection):
    buffer = bytearray(1 << 20)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            return False
        head += piece
    head, _, rest = head.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields[b"content-length"])
    got = len(rest)
    while got < length:
        count = connection.recv_into(buffer)
        if not count:
            return False
        got += count
    body = b"%d\n" % got
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return True


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
    while True:
        connection, _ = listener.accept()
        with connection:
            while receive(connection):
                pass


main()
