/* What Microsoft's compiler lacks of GCC and C11. setup.py has it read this first. */

#include <malloc.h> /* all headers, before their words are changed */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define __attribute__(whatever)
#define aligned_alloc(multiple, bytes) _aligned_malloc(bytes, multiple)
#define free _aligned_free
