/* hello - the smallest actor: it prints who it is and what it was given.
 *
 *   pando run hello.wasm
 *   pando run hello.wasm Ada Grace */
#include <inttypes.h>
#include <stdio.h>

#include <pando/pando.h>

int main(int argument_count, char **arguments)
{
    printf("Hello from process %" PRIu64 ".\n", pando_self());
    for (int i = 1; i < argument_count; i++) {
        printf("Hello, %s.\n", arguments[i]);
    }
    return 0;
}
