// SPDX-License-Identifier: GPL-3.0-or-later
// A user of this machine, by its name.
#pragma once

#include <pwd.h>

#include <string>

#include "base/result.h"

namespace cs {

struct User {
  uid_t id = 0;
  gid_t group = 0;
};

// Not for two threads at a time. Refused: not_found.
inline Result<User> find_user(const std::string& name) {
  const passwd* entry = ::getpwnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): said above
  if (entry != nullptr) return User{entry->pw_uid, entry->pw_gid};
  return Error(ErrorKind::not_found, "there is no user " + name)
      .with_hint(
          "name another, or make it: useradd --system --no-create-home --shell /usr/sbin/nologin " +
          name);
}

}  // namespace cs
