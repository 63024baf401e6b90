/* wasi_server LISTENER - what came in is sent back in capitals, one connection after the other,
 * until one says "quit"; after "whole", of which there is no more at once, a buffer that is full.
 * Through wasi-libc, on the descriptor of a listener that was given with --listen. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Serve one connection to its end. False: it said "quit". */
static int serve(int connection)
{
    char bytes[256];
    ssize_t size;
    int flags = 0;
    while ((size = recv(connection, bytes, sizeof bytes, flags)) > 0) {
        if (flags != 0 && size != sizeof bytes) {
            fprintf(stderr, "%zd bytes are not the whole\n", size);
            exit(1);
        }
        int is_quit = size >= 4 && memcmp(bytes, "quit", 4) == 0;
        flags = size == 5 && memcmp(bytes, "whole", 5) == 0 ? MSG_WAITALL : 0;
        for (ssize_t i = 0; i < size; i++) {
            bytes[i] = (char)toupper((unsigned char)bytes[i]);
        }
        if (send(connection, bytes, (size_t)size, 0) != size) {
            perror("send");
            exit(1);
        }
        if (is_quit) {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    int listener = argc > 1 ? atoi(argv[1]) : 3;
    int goes_on = 1;
    while (goes_on) {
        struct pollfd wanted = {.fd = listener, .events = POLLIN};
        if (poll(&wanted, 1, -1) != 1) {
            perror("poll");
            return 1;
        }
        int connection = accept(listener, NULL, NULL);
        if (connection < 0) {
            perror("accept");
            return 1;
        }
        goes_on = serve(connection);
        if (shutdown(connection, SHUT_RDWR) != 0 && errno != ENOTCONN) {
            perror("shutdown");
            return 1;
        }
        close(connection);
    }
    puts("served");
    return 0;
}
