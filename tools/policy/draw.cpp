// SPDX-License-Identifier: GPL-3.0-or-later
#include <ostream>

#include "keyms/policy/from_kernel.h"
#include "keyms/policy/from_swanctl.h"
#include "keyms/policy/toml.h"
#include "tools/policy/policy.h"
#include "tpm/small_file.h"
#include "xfrm/state/kernel.h"

namespace cs::policy {
namespace {

Outcome tell(const Result<keyms::Drawn>& drawn, const Console& console) {
  if (!drawn.ok()) {
    return inspect::fail(drawn.error(), Outcome::unreadable, false, console.out, console.err);
  }
  for (const std::string& note : drawn->notes) {
    console.err << "note: " << detail::one_line(note) << "\n";
  }
  console.out << keyms::toml_text(drawn->policy);
  if (const auto problem = keyms::find_problem(drawn->policy)) {
    console.err << "to be filled in: "
                << (problem->part.empty() ? "" : detail::one_line(problem->part) + ": ")
                << problem->error.message() << "\n";
  }
  return Outcome::good;
}

Result<keyms::Drawn> from_file(const SwanctlOptions& options) {
  CS_TRY(const auto bytes, tpm::read_small_file(options.file, std::size_t{1024} * 1024));
  return keyms::from_swanctl({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                             options.file, options.connection, options.who);
}

Result<keyms::Drawn> from_this_kernel(const KernelOptions& options) {
  CS_TRY(netlink::Socket socket, xfrm::open_socket());
  CS_TRY(const xfrm::State state, xfrm::read_state(socket));
  return keyms::from_kernel(state, options.peer, options.who);
}

}  // namespace

Outcome draw_from_swanctl(const SwanctlOptions& options, const Console& console) {
  return tell(from_file(options), console);
}

Outcome draw_from_kernel(const KernelOptions& options, const Console& console) {
  return tell(from_this_kernel(options), console);
}

}  // namespace cs::policy
