/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What restore points reach, and what is in the index before one is published. */
#ifndef STORE_REACH_REACH_H
#define STORE_REACH_REACH_H

#include "store/reach/mark.h"
#include "store/reach/publish.h"

#endif
