// The part of toml++ that Debian has as a shared library only, from its own headers.
#define TOML_IMPLEMENTATION
#include <toml++/toml.h>
