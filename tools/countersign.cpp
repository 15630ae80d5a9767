// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's command. Each subcommand is a file of its own beside this one.

#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>

namespace {

int run(int argc, char** argv) {
  CLI::App app{"Countersign: attested IPsec gateways", "countersign"};
  app.set_version_flag("--version", "countersign " CS_VERSION);
  app.footer("Manual: man countersign");
  try {
    app.parse(argc, argv);
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "countersign: " << error.what() << '\n';
    return 1;
  }
}
