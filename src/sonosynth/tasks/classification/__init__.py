"""Classification: does a classifier that is trained with synthetic images get better?"""
