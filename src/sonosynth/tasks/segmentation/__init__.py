"""Segmentation of lesions: does a U-Net get better with synthetic images that have masks?"""
