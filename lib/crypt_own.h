/* Between the files of lib/crypt*.c. */
#ifndef LIB_CRYPT_OWN_H
#define LIB_CRYPT_OWN_H

void crypt_forget_nonces(void); /* in a forked child: its parent goes on with them */

#endif
