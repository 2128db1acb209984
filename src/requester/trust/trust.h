/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore points are strangers: where they may write to, and what their definitions take from this host. */
#ifndef REQUESTER_TRUST_TRUST_H
#define REQUESTER_TRUST_TRUST_H

#include "requester/trust/allow.h"
#include "requester/trust/trust_demands.h"

#endif
