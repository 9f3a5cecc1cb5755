#include "oneflow_like/core/placement.h"

#include <gtest/gtest.h>

namespace ofl {
namespace {

Placement Mesh(const Shape& hierarchy, std::vector<int> ranks) {
  return Placement::Make(DeviceKind::kCpu, hierarchy, std::move(ranks)).value();
}

TEST(Placement, EqualOnesAreOneObject) {
  EXPECT_EQ(Mesh({2}, {0, 1}), Mesh({2}, {0, 1}));
  EXPECT_FALSE(Mesh({2}, {0, 1}) == Mesh({2}, {1, 0}));
  EXPECT_FALSE(Mesh({2}, {0, 1}) == Mesh({2, 1}, {0, 1}));
  EXPECT_FALSE(Mesh({2}, {0, 1}) == Placement::Make(DeviceKind::kNull, {2}, {0, 1}).value());
  EXPECT_FALSE(Mesh({2}, {0, 1}) ==
               Placement::Make(DeviceKind::kCpu, {2}, {0, 1}, {"data"}).value());
  EXPECT_FALSE(Placement().defined());
}

TEST(Placement, PositionsAndCoordinates) {
  const Placement mesh = Mesh({2, 3}, {5, 4, 3, 2, 1, 0});
  EXPECT_EQ(mesh.size(), 6);
  EXPECT_EQ(mesh.IndexOf(1), 4);
  EXPECT_EQ(mesh.IndexOf(6), -1);
  EXPECT_FALSE(mesh.Contains(-1));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(mesh.Coordinates(i), (std::vector<int>{i / 3, i % 3}));
}

TEST(Placement, Text) {
  EXPECT_EQ(Mesh({2}, {0, 1}).ToString(), "placement(cpu, ranks=[0, 1])");
  EXPECT_EQ(Mesh({2, 2}, {0, 1, 2, 3}).ToString(), "placement(cpu, ranks=[[0, 1], [2, 3]])");
  EXPECT_EQ(Mesh({1, 2, 1}, {3, 1}).ToString(), "placement(cpu, ranks=[[[3], [1]]])");
  EXPECT_EQ(Placement().ToString(), "local");
}

TEST(Placement, RefusesBadMeshes) {
  struct Case {
    Shape hierarchy;
    std::vector<int> ranks;
    std::vector<std::string> names;
    const char* text;
  };
  for (const Case& c : std::vector<Case>{{{0}, {}, {}, "at least one rank"},
                                         {{}, {0}, {}, "1 to 4 axes"},
                                         {{1, 1, 1, 1, 1}, {0}, {}, "1 to 4 axes"},
                                         {{2}, {0}, {}, "needs 2 ranks, got 1"},
                                         {{2}, {0, 0}, {}, "rank 0 stands twice"},
                                         {{2}, {0, -1}, {}, "must not be negative"},
                                         {{2}, {0, 1}, {"a", "b"}, "2 axis names"}}) {
    const auto placement = Placement::Make(DeviceKind::kCpu, c.hierarchy, c.ranks, c.names);
    EXPECT_EQ(placement.status().code(), Code::kInvalidArgument) << c.text;
    EXPECT_NE(placement.status().message().find(c.text), std::string::npos)
        << placement.status().message();
  }
  EXPECT_EQ(DeviceKindFromName("gpu").status().code(), Code::kInvalidArgument);
  EXPECT_EQ(DeviceKindFromName("cpu").value(), DeviceKind::kCpu);
}

}  // namespace
}  // namespace ofl
