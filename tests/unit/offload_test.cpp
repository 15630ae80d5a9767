// SPDX-License-Identifier: GPL-3.0-or-later
// Modules in trees that look like /proc, /sys and /lib; the interfaces are this machine's, so they
// are left out here (netns/interface_features_test.cpp has some of its own).
#include "xfrm/offload.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/temporary_directory.h"

namespace cs {
namespace {

using Kind = OffloadFinding::Kind;

class Offload : public testing::Test {
 protected:
  Offload() {
    tree.write("proc/sys/kernel/osrelease", "6.1.0-test\n");
    tree.write("proc/modules", "esp4 28672 2 - Live 0x0000000000000000\n");
    tree.write("sys/module/esp4/refcnt", "2\n");
    tree.write(builtin, "kernel/net/ipv4/tunnel4.ko\n");
  }

  // "kind name" of each finding.
  std::vector<std::string> find() const {
    const auto probe = OffloadProbe::create(tree.path());
    if (!probe.ok()) return {probe.error().message()};
    const auto all = probe->find_offloads();
    if (!all.ok()) return {all.error().message()};
    std::vector<std::string> found;
    for (const OffloadFinding& finding : *all) {
      if (finding.kind == Kind::feature) continue;
      found.push_back((finding.kind == Kind::module ? "module " : "builtin ") + finding.subject);
    }
    return found;
  }

  const std::string builtin = "lib/modules/6.1.0-test/modules.builtin";
  test::TemporaryDirectory tree;
};

using Found = std::vector<std::string>;

TEST_F(Offload, NoneOnAMachineWithEspAlone) {
  EXPECT_EQ(find(), Found{});
}

TEST_F(Offload, ALoadedModuleInTheList) {
  tree.write("proc/modules",
             "esp4 28672 2 esp4_offload, Live 0x0\nesp4_offload 16384 0 - Live 0x0\n");
  EXPECT_EQ(find(), Found{"module esp4_offload"});
  tree.write("proc/modules",
             "esp6_offload 16384 0 - Loading 0x0\nesp4_offload 16384 0 - Live 0x0\n");
  EXPECT_EQ(find(), (Found{"module esp4_offload", "module esp6_offload"}));
}

// "esp4 … esp4_offload," says only who uses esp4; and there may be names that begin the same.
TEST_F(Offload, NotByPartsOfALine) {
  tree.write("proc/modules",
             "esp4 28672 2 esp4_offload, Live 0x0\nesp4_offload_x 1 0 - Live 0x0\n");
  EXPECT_EQ(find(), Found{});
}

TEST_F(Offload, ALoadedModuleInSysOnly) {
  tree.write("sys/module/esp6_offload/initstate", "coming\n");
  EXPECT_EQ(find(), Found{"module esp6_offload"});
}

TEST_F(Offload, PartOfTheKernel) {
  tree.write(builtin, "kernel/net/ipv4/tunnel4.ko\nkernel/net/ipv4/esp4_offload.ko\n");
  EXPECT_EQ(find(), Found{"builtin esp4_offload"});
  tree.write(builtin, "kernel/net/ipv6/esp6_offload.ko");
  EXPECT_EQ(find(), Found{"builtin esp6_offload"});
}

TEST_F(Offload, PartOfTheKernelByItsSymbols) {
  std::filesystem::remove(tree.file(builtin));
  tree.write("proc/kallsyms", "0000000000000000 t esp4_gro_receive\n0000000000000000 t other\n");
  EXPECT_EQ(find(), Found{"builtin esp4_offload"});
  tree.write("proc/kallsyms", "0000000000000000 t esp4_gro_receive\t[esp4_offload]\n");
  EXPECT_EQ(find(), Found{});
}

TEST_F(Offload, WhereNothingTellsItIsRefused) {
  std::filesystem::remove(tree.file(builtin));
  const auto probe = OffloadProbe::create(tree.path());
  ASSERT_FALSE(probe.ok());
  EXPECT_EQ(probe.error().kind(), ErrorKind::unsupported);
  EXPECT_NE(probe.error().message().find("modules.builtin"), std::string::npos);
}

TEST_F(Offload, AKernelWithoutModulesHasNoList) {
  std::filesystem::remove(tree.file("proc/modules"));
  EXPECT_EQ(find(), Found{});
  std::filesystem::remove_all(tree.file("sys"));
  const auto probe = OffloadProbe::create(tree.path());
  ASSERT_TRUE(probe.ok());
  const auto found = probe->find_offloads();
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind(), ErrorKind::unsupported);
}

TEST_F(Offload, AReleaseThatLeavesTheTreeIsRefused) {
  tree.write("proc/sys/kernel/osrelease", "../../etc\n");
  EXPECT_FALSE(OffloadProbe::create(tree.path()).ok());
  tree.write("proc/sys/kernel/osrelease", "");
  EXPECT_FALSE(OffloadProbe::create(tree.path()).ok());
}

TEST_F(Offload, AFileWithoutEndIsRefused) {
  std::filesystem::remove(tree.file("proc/modules"));
  std::filesystem::create_symlink("/dev/zero", tree.file("proc/modules"));
  const auto probe = OffloadProbe::create(tree.path());
  ASSERT_TRUE(probe.ok());
  const auto found = probe->find_offloads();
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().kind(), ErrorKind::limit);
}

TEST_F(Offload, TellsTheCure) {
  tree.write("proc/modules", "esp4_offload 16384 0 - Live 0x0\n");
  const auto found = OffloadProbe::create(tree.path())->find_offloads();
  ASSERT_TRUE(found.ok());
  ASSERT_FALSE(found->empty());
  EXPECT_NE(found->at(0).cure.find("modprobe -r esp4_offload"), std::string::npos);
  EXPECT_NE(found->at(0).cure.find("echo install esp4_offload /bin/false > /etc/modprobe.d/"),
            std::string::npos);
}

TEST(OffloadFeature, TellsTheCure) {
  const OffloadFinding off = feature_finding({"eth0", "esp-hw-offload", false});
  EXPECT_EQ(off.kind, Kind::feature);
  EXPECT_EQ(off.subject, "eth0");
  EXPECT_EQ(off.cure, "ethtool -K eth0 esp-hw-offload off");
  EXPECT_EQ(feature_finding({"eth0", "esp-hw-offload", true}).cure.find("ethtool"),
            std::string::npos);
}

}  // namespace
}  // namespace cs
