/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TOOLS_MUTATE_XML_H
#define TOOLS_MUTATE_XML_H

/* `mutate xml`: from standard input to standard output. Returns the exit code. */
int mutate_xml(const char *seed, const char *path);

#endif
