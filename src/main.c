// The program: a client of libfmnist like any other.
#include <fmnist/fmnist.h>

#include <stdlib.h>

// Between two loops OpenMP's threads wait by spinning, which libgomp does for milliseconds. In the
// beginning two threads may be on one processor, and until the scheduler parts them all of that is
// lost. The loops of a step follow each other within this many turns, some 0.1 ms. It is read when
// libgomp is loaded, with the backend; what a user has set stays.
static void shorten_spinning(void)
{
    if (!getenv("OMP_WAIT_POLICY"))
        setenv("GOMP_SPINCOUNT", "10000", 0);
}

int main(int argc, char **argv)
{
    shorten_spinning();
    return fmnist_main(argc, argv);
}
