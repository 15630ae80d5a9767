// SPDX-License-Identifier: GPL-3.0-or-later
// The tables of the store, and how those of an older version become the newest.
#pragma once

#include <array>
#include <span>

#include "keyms/store/database.h"

namespace cs::keyms {

// "CSst": what the file is, for file(1) and for us.
inline constexpr std::int64_t store_application = 0x43537374;

// Each leads from the version before it to its own, the first from an empty file to version 1. None
// is ever changed: files of its version are out there.
inline constexpr std::array store_versions{
    // `part`: what is needed before unlocking. `entry`: encrypted rows.
    "CREATE TABLE part(name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE entry(kind INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY(kind, name)) STRICT",
};

// Brings the file to the last of `versions`; to be called within a transaction. Refused:
// unsupported, it is of a later version; invalid, it is no store, or has other tables than its
// version has.
[[nodiscard]] Result<void> migrate(Database& database, std::span<const char* const> versions);
// Without a table and without a mark: its making was cut off.
[[nodiscard]] Result<bool> is_blank(Database& database);

}  // namespace cs::keyms
