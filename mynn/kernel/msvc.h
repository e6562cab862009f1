/* Replacements for features of GCC and C11 that Microsoft's compiler lacks. setup.py includes this file first. */

#include <malloc.h> /* all headers come before the macros, which would break them */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __attribute__(whatever)
#define aligned_alloc(multiple, bytes) _aligned_malloc(bytes, multiple)
#define free _aligned_free
