// The program: a client of libfmnist like any other.
#include <fmnist/fmnist.h>

int main(int argc, char **argv)
{
    return fmnist_main(argc, argv);
}
