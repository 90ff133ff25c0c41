/* Look names up with getaddrinfo and print "NAME ADDRESS..." or "NAME error: WHY", one line each. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv)
{
    struct addrinfo hints, *found, *each;
    char text[INET6_ADDRSTRLEN];
    int i, status, failed = 0;

    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    for (i = 1; i < argc; i++) {
        printf("%s", argv[i]);
        status = getaddrinfo(argv[i], 0, &hints, &found);
        if (status) {
            failed = 1;
            printf(" error: %s\n", gai_strerror(status));
            continue;
        }
        for (each = found; each; each = each->ai_next) {
            void *address = each->ai_family == AF_INET6
                ? (void *) &((struct sockaddr_in6 *) each->ai_addr)->sin6_addr
                : (void *) &((struct sockaddr_in *) each->ai_addr)->sin_addr;
            printf(" %s", inet_ntop(each->ai_family, address, text, sizeof text));
        }
        printf("\n");
        freeaddrinfo(found);
    }
    return failed;
}
