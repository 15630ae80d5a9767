// SPDX-License-Identifier: GPL-3.0-or-later
// What the data plane may do: CAP_NET_ADMIN, and the system calls it needs.
#pragma once

#include <string>

#include "base/result.h"

namespace cs {

// Becomes `user`, if one is given, with CAP_NET_ADMIN alone and no_new_privs for good. Without one
// the process has to have come like that (systemd's unit does it): refuses with `denied`, in words,
// what is too much or too little.
Result<void> keep_net_admin_alone(const std::string& user);

// Memory is not swapped and not dumped: keys are in OpenSSL's and libsodium's memory as well. Pages
// are locked as they come into use. Fails when RLIMIT_MEMLOCK does not allow it.
Result<void> lock_memory();

// From here on other system calls than the running data plane needs end the process. Once
// everything is open; also for threads that run already.
Result<void> filter_system_calls();

}  // namespace cs
