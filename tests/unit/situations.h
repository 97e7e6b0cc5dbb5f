/* SPDX-License-Identifier: MIT
 *
 * A table of situations: layers made by hand (kit_tree() knows the words), a path in the union, and
 * what is to be found there. "u" is the upper, "1" to "3" are the sealed layers, the topmost first.
 * What is found is told as
 *   absent    whiteout    error EIO    file LAYER    file LAYER data LAYER:PATH    symlink LAYER
 *   dir [0] LAYER:PATH...      (0: it has an upper part)
 */
#ifndef PLYFS_TEST_SITUATIONS_H
#define PLYFS_TEST_SITUATIONS_H

#include <stdbool.h>

struct situation {
    const char *claim, *words, *path, *shows;
    bool files; /* the upper writes `.wh.` files */
};

static const struct situation SITUATIONS[] = {
    /* merging */
    {"a_name_that_no_layer_has_is_absent", "f 1/a", "b", "absent"},
    {"the_upper_hides_the_layers", "f u/a, f 1/a", "a", "file 0"},
    {"the_topmost_layer_hides_those_beneath", "f 2/a, f 3/a", "a", "file 2"},
    {"directories_of_all_layers_merge", "d u/d, d 1/d, d 3/d", "d", "dir 0 1:d 3:d"},
    {"a_name_is_found_in_any_part_of_a_merged_directory", "d u/d, d 1/d, f 3/d/x", "d/x", "file 3"},
    {"a_file_hides_a_directory", "f u/d, d 1/d", "d", "file 0"},
    {"a_file_among_directories_ends_the_merge", "d 1/d, f 2/d, d 3/d", "d", "dir 1:d"},
    {"a_symlink_is_shown_and_not_followed", "l 1/s d, d 2/s", "s", "symlink 1"},
    {"a_symlink_among_directories_ends_the_merge", "d 1/d, l 2/d 3, f 3/d/x", "d", "dir 1:d"},
    {"nothing_is_found_behind_a_symlink", "d 1/d, l 2/d /, f 3/d/x", "d/x", "absent"},

    /* whiteouts */
    {"a_whiteout_of_the_upper_hides_all", "w u/a, f 1/a", "a", "whiteout"},
    {"a_whiteout_device_hides_beneath", "w 1/a, f 2/a", "a", "absent"},
    {"a_whiteout_device_does_not_hide_above", "f 1/a, w 2/a", "a", "file 1"},
    {"a_whiteout_cuts_a_merge", "d 1/d, w 2/d, d 3/d", "d", "dir 1:d"},
    {"nothing_is_found_in_a_directory_that_is_whited_out", "w 1/d, f 2/d/x", "d/x", "absent"},
    {"a_dot_wh_file_hides_beneath", "f 1/.wh.a, f 2/a", "a", "absent"},
    {"a_dot_wh_file_does_not_hide_its_neighbour", "f 1/.wh.a, f 1/a, f 2/a", "a", "file 1"},
    {"a_dot_wh_file_cuts_a_merge", "f 1/.wh.d, d 1/d, d 2/d", "d", "dir 1:d"},
    {"a_dot_wh_file_hides_in_the_only_source", "f 1/d/.wh.a, o 1/d, f 2/d/a", "d/a", "absent"},
    {"a_dot_wh_file_of_a_layer_is_never_shown", "f 1/.wh.a", ".wh.a", "absent"},
    {"an_attribute_whiteout_hides_beneath", "o 1 x, e 1/a, f 2/a", "a", "absent"},
    {"an_attribute_whiteout_hides_in_directories_too", "o 1 x, o 1/d x, e 1/d/a, f 2/d/a", "d/a",
     "absent"},
    {"an_attribute_whiteout_is_a_file_where_the_root_has_no_mark", "e 1/a, f 2/a", "a", "file 1"},
    {"a_file_with_content_is_no_attribute_whiteout", "o 1 x, e 1/a, f 1/a text", "a", "file 1"},
    {"an_upper_of_dot_wh_files_hides_by_them", "f u/.wh.a, f 1/a", "a", "whiteout", true},
    {"in_such_an_upper_the_object_counts_before_the_mark", "f u/.wh.a, f u/a, f 1/a", "a", "file 0",
     true},
    {"in_such_an_upper_the_marks_are_not_shown", "f u/.wh.a", ".wh.a", "absent", true},
    {"in_an_upper_of_devices_a_dot_wh_file_is_a_file", "f u/.wh.a, f 1/a", ".wh.a", "file 0"},

    /* opaque directories */
    {"an_opaque_directory_hides_all_beneath", "o u/d, d 1/d", "d", "dir 0"},
    {"nothing_is_found_beneath_an_opaque_directory", "o u/d, f 1/d/x", "d/x", "absent"},
    {"an_opaque_layer_ends_the_merge_with_itself", "d u/d, o 1/d, d 2/d", "d", "dir 0 1:d"},
    {"an_opaque_file_does_the_same", "f 1/d/.wh..wh..opq, d 2/d", "d", "dir 1:d"},
    {"an_opaque_mark_of_another_value_is_none", "o 1/d x, d 2/d", "d", "dir 1:d 2:d"},

    /* redirects of directories */
    {"a_relative_redirect_leads_to_a_sibling", "d u/new, r u/new old, d 1/old, d 2/old", "new",
     "dir 0 1:old 2:old"},
    {"a_relative_redirect_stays_in_its_directory", "d u/d/new, r u/d/new old, d 1/d/old, d 1/old",
     "d/new", "dir 0 1:d/old"},
    {"an_absolute_redirect_leads_from_the_root", "d u/new, r u/new /a/old, d 1/a/old", "new",
     "dir 0 1:a/old"},
    {"the_old_name_beneath_a_redirect_is_not_merged", "d 1/new, r 1/new old, d 2/old, d 2/new",
     "new", "dir 1:new 2:old"},
    {"a_redirect_looks_beneath_its_own_layer", "d 1/new, r 1/new /p, d 1/p, d 2/p", "new",
     "dir 1:new 2:p"},
    {"redirects_follow_one_another", "d u/c, r u/c b, d 1/b, r 1/b a, d 2/a", "c", "dir 0 1:b 2:a"},
    {"a_redirected_parent_sends_the_layers_beneath_elsewhere",
     "d u/new, r u/new /p/q, d 1/p, r 1/p /o, d 2/o/q, d 2/p/q", "new", "dir 0 2:o/q"},
    {"a_parent_redirected_to_its_sibling_does_so_too",
     "d u/new, r u/new /a/p/q, d 1/a/p/q, r 1/a/p o, d 2/a/o/q", "new", "dir 0 1:a/p/q 2:a/o/q"},
    {"both_a_parent_and_the_leaf_may_be_redirected",
     "d u/n, r u/n /p/q, d 1/p/q, r 1/p /o, r 1/p/q z, d 2/o/z, d 2/o/q", "n", "dir 0 1:p/q 2:o/z"},
    {"a_redirect_goes_on_past_a_layer_without_its_target",
     "d u/new, r u/new /a/old, d 1/a, d 3/a/old", "new", "dir 0 3:a/old"},
    {"an_opaque_parent_ends_a_redirect", "d u/n, r u/n /p/q, d 1/p/q, o 1/p, d 2/p/q", "n",
     "dir 0 1:p/q"},
    {"a_whiteout_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, w 1/p, d 2/p/q", "n",
     "dir 0"},
    {"a_dot_wh_file_among_the_parents_ends_a_redirect",
     "d u/n, r u/n /p/q, f 1/.wh.p, d 1/z, d 2/p/q", "n", "dir 0"},
    {"a_file_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, f 1/p, d 2/p/q", "n", "dir 0"},
    {"a_symlink_among_the_parents_ends_a_redirect", "d u/n, r u/n /p/q, l 1/p z, d 1/z/q, d 2/p/q",
     "n", "dir 0"},
    {"a_whiteout_at_its_target_ends_a_redirect", "d u/n, r u/n old, w 1/old, d 2/old", "n",
     "dir 0"},
    {"a_dot_wh_file_at_its_target_ends_a_redirect", "d u/n, r u/n old, f 1/.wh.old, d 2/old", "n",
     "dir 0"},
    {"a_file_at_its_target_ends_a_redirect", "d u/n, r u/n old, f 1/old, d 2/old", "n", "dir 0"},
    {"an_opaque_directory_has_no_use_for_its_redirect", "o u/n, r u/n old, d 1/old", "n", "dir 0"},

    /* hostile ones */
    {"a_redirect_that_climbs_is_refused", "d u/n, r u/n ../..", "n", "error EIO"},
    {"a_redirect_to_the_parent_is_refused", "d u/n, r u/n ..", "n", "error EIO"},
    {"a_redirect_to_itself_by_a_dot_is_refused", "d u/n, r u/n .", "n", "error EIO"},
    {"a_redirect_to_the_root_is_refused", "d u/n, r u/n /", "n", "error EIO"},
    {"an_absolute_redirect_that_climbs_is_refused", "d u/n, r u/n /../../etc", "n", "error EIO"},
    {"an_absolute_redirect_that_climbs_at_its_end_is_refused", "d u/n, r u/n /a/..", "n",
     "error EIO"},
    {"a_redirect_with_a_dot_in_it_is_refused", "d u/n, r u/n /a/./b", "n", "error EIO"},
    {"a_redirect_with_an_empty_component_is_refused", "d u/n, r u/n /a//b", "n", "error EIO"},
    {"a_redirect_that_ends_in_a_slash_is_refused", "d u/n, r u/n /a/", "n", "error EIO"},
    {"a_relative_redirect_of_two_components_is_refused", "d u/n, r u/n a/b", "n", "error EIO"},
    {"a_hostile_redirect_of_a_layer_is_refused", "d 1/n, r 1/n ../.., d 2/n", "n", "error EIO"},
    {"a_hostile_redirect_of_a_parent_is_refused",
     "d u/n, r u/n /p/q, d 1/p/q, r 1/p ../../etc, d 2/p/q", "n", "error EIO"},
    {"redirects_in_a_circle_end", "d u/a, r u/a b, d 1/b, r 1/b a, d 2/a, r 2/a b, d 3/b", "a",
     "dir 0 1:b 2:a 3:b"},
    {"a_redirect_to_its_own_name_ends", "d 1/a, r 1/a /a, d 2/a, r 2/a /a, d 3/a", "a",
     "dir 1:a 2:a 3:a"},

    /* metacopy */
    {"a_metacopy_file_has_its_data_beneath", "m u/f, f 1/f text", "f", "file 0 data 1:f"},
    {"a_chain_of_metacopy_files_ends_at_the_data", "m u/f, m 1/f, m 2/f, f 3/f text", "f",
     "file 0 data 3:f"},
    {"a_metacopy_file_of_a_layer_has_its_data_beneath_that", "m 1/f, f 2/f text", "f",
     "file 1 data 2:f"},
    {"a_renamed_metacopy_file_finds_its_data", "m u/new, r u/new old, f 1/old text", "new",
     "file 0 data 1:old"},
    {"a_moved_metacopy_file_finds_its_data", "m u/new, r u/new /d/old, f 2/d/old text", "new",
     "file 0 data 2:d/old"},
    {"a_metacopy_chain_follows_each_redirect",
     "m u/c, r u/c b, m 1/b, r 1/b /d/a, f 2/d/a text, f 2/b", "c", "file 0 data 2:d/a"},
    {"a_metacopy_file_of_a_layer_follows_its_redirect", "m 1/f, r 1/f g, f 2/g text, f 2/f", "f",
     "file 1 data 2:g"},
    {"data_is_found_through_a_redirected_parent",
     "m u/f, r u/f /p/q, d 1/p, r 1/p /o, f 2/o/q text", "f", "file 0 data 2:o/q"},
    {"a_metacopy_file_in_a_renamed_directory_finds_its_data",
     "m u/new/f, r u/new old, f 1/old/f text", "new/f", "file 0 data 1:old/f"},
    {"an_opaque_directory_on_the_way_does_not_part_a_metacopy_file_from_its_data",
     "m u/c, r u/c /o/b, o 1/o, m 1/o/b, r 1/o/b /d/a, f 2/d/a text", "c", "file 0 data 2:d/a"},
    {"an_opaque_directory_of_a_layer_does_not_part_a_metacopy_file_from_its_data",
     "m 1/c, r 1/c /o/b, o 2/o, m 2/o/b, r 2/o/b /a, f 3/a text", "c", "file 1 data 3:a"},
    {"an_absolute_redirect_leads_out_of_an_opaque_directory",
     "d u/c, r u/c /o/b, o 1/o, d 1/o/b, r 1/o/b /a, d 2/a, d 2/o/b", "c", "dir 0 1:o/b 2:a"},
    {"an_absolute_redirect_on_the_way_leads_out_of_an_opaque_directory",
     "d u/c, r u/c /o/b/e, o 1/o, d 1/o/b/e, r 1/o/b /a, d 2/a/e, d 2/o/b/e", "c",
     "dir 0 1:o/b/e 2:a/e"},
    {"a_name_does_not_lead_out_of_an_opaque_directory",
     "d u/c, r u/c /o/b, o 1/o, d 1/o/b, r 1/o/b a, d 2/o/a", "c", "dir 0 1:o/b"},
    {"the_redirect_of_an_opaque_directory_on_the_way_says_nothing",
     "d u/c, r u/c /o/b, o 1/o, r 1/o /a, d 1/o/b, d 2/a/b", "c", "dir 0 1:o/b"},
    {"an_opaque_directory_on_the_way_ends_the_search_where_it_has_no_such_file",
     "m u/c, r u/c /o/b, o 1/o, f 2/o/b text", "c", "error EIO"},
    {"a_metacopy_file_without_data_is_an_error", "m u/f", "f", "error EIO"},
    {"a_metacopy_file_of_a_layer_without_data_is_an_error", "m 1/f", "f", "error EIO"},
    {"a_chain_of_metacopy_files_without_data_is_an_error", "m u/f, m 1/f, m 3/f", "f", "error EIO"},
    {"a_metacopy_file_of_the_lowest_layer_is_an_error", "m 3/f", "f", "error EIO"},
    {"a_directory_is_no_data", "m u/f, d 1/f, f 2/f", "f", "error EIO"},
    {"a_symlink_is_no_data", "m u/f, l 1/f ../2/f, f 2/f", "f", "error EIO"},
    {"data_beneath_a_dot_wh_file_is_not_found", "m 1/f, f 2/.wh.f, f 3/f", "f", "error EIO"},
    {"data_beneath_a_whiteout_is_not_found", "m u/f, w 1/f, f 2/f", "f", "error EIO"},
    {"a_hostile_redirect_of_a_file_is_refused", "m u/f, r u/f ../../etc/passwd, f 1/f", "f",
     "error EIO"},
    {"a_redirect_of_a_file_that_is_no_metacopy_says_nothing", "f u/f, r u/f g, f 1/g", "f",
     "file 0"},
};

#endif
