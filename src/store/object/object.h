/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Objects: named pieces of a repository, where they lie, what seals and compresses them, and the keys. */
#ifndef STORE_OBJECT_OBJECT_H
#define STORE_OBJECT_OBJECT_H

#include "store/object/backend.h"
#include "store/object/config.h"
#include "store/object/crypt.h"
#include "store/object/crypt_sign.h"
#include "store/object/env.h"
#include "store/object/key.h"
#include "store/object/lines.h"
#include "store/object/names.h"
#include "store/object/ring.h"
#include "store/object/signed.h"
#include "store/object/workers.h"
#include "store/object/zip.h"

#endif
