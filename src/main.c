// The program: everything that it does is in libraries, so that tests can link it too.
#include "cli/args.h"

int main(int argc, char **argv)
{
    return fm_command_line(argc, argv);
}
